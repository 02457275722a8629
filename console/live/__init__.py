"""Live pages: a socket that tells a page when something is new. Never what: the page asks for that as ever."""
