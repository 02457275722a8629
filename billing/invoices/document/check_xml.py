"""Checks an invoice's XML by the official rules, in a process of its own (`python -m …check_xml`).

Reads the XML from its input; its arguments are the stylesheets that the rules were made into (XSLT 2). Writes the rules
that are broken as JSON: `[["BR-CO-16", "…"]]`. The rules run in a machine of Java's kind that has crashed processes
that were more than this; whoever starts this sets a time limit.
"""

import json
import resource
import sys
from xml.etree import ElementTree as ET

_SVRL = "{http://purl.oclc.org/dsdl/svrl}"
_CPU_SECONDS = 60


def broken_rules(xml: str, stylesheet: str) -> list[tuple[str, str]]:
    """The id and the words of each rule that the XML breaks."""
    from saxonche import PySaxonProcessor  # only this process loads it

    with PySaxonProcessor(license=False) as processor:
        rules = processor.new_xslt30_processor().compile_stylesheet(stylesheet_file=stylesheet)
        report = rules.transform_to_string(xdm_node=processor.parse_xml(xml_text=xml))
    if report is None:
        raise RuntimeError(f"{stylesheet} gave no report")
    root = ET.fromstring(report)  # noqa: S314  # made here
    if root.find(f"{_SVRL}fired-rule") is None:
        raise RuntimeError(f"no rule of {stylesheet} looked at the XML")
    failed = [*root.iter(f"{_SVRL}failed-assert"), *root.iter(f"{_SVRL}successful-report")]
    return [(one.get("id", ""), " ".join("".join(one.itertext()).split())) for one in failed]


def main() -> int:
    """Everything that is broken, each once, in order."""
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    xml = sys.stdin.buffer.read().decode()
    found = [rule for stylesheet in sys.argv[1:] for rule in broken_rules(xml, stylesheet)]
    json.dump(list(dict.fromkeys(found)), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
