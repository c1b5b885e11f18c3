"""Interactive charts of pages, made of tables: one module for each thing that is drawn."""
