"""`make up`: starts all of Beffroi on one machine and keeps it running."""
