"""The files that exports are made as. Each writer makes its file piece by piece, from a state that anybody can go on
from: that is why none of them is a library's, which keep the file open in one process (docs/decisions/0013)."""

from billing.exports.formats import csv_file, jsonl_file, parquet_file, xlsx_file
from billing.exports.formats.table import Writer
from billing.models.exports import Export

WRITERS: dict[str, Writer] = {
    Export.Format.CSV: csv_file,
    Export.Format.XLSX: xlsx_file,
    Export.Format.JSONL: jsonl_file,
    Export.Format.PARQUET: parquet_file,
}
