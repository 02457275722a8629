"""Signing in through OpenID Connect, by a one-time link or by breaking the glass; signing out."""
