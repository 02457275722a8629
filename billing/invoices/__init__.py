"""What was issued, its files and its payments; who bills, who is billed, and with which VAT."""
