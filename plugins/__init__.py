"""Native code for what generic graphs cannot express. Installed as bskim_export.plugins."""
