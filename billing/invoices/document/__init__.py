"""The document of an invoice: what is in it (`contents`), what it lacks (`faults`), its XML, its PDF. No tables."""
