"""Reports of runs and studies, as text, tables, pictures and pages."""
