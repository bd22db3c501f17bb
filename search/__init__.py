"""ENRICH's context: who searches the web, how strangers' pages are read, how the result is fenced."""
