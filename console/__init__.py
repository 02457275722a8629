"""The Django project: settings and every page that a browser sees."""
