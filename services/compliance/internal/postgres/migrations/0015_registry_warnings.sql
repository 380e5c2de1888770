-- Imports tell what a portal would say to a template: warnings, which refuse nothing.
ALTER TABLE registry_imports ADD COLUMN warnings bigint NOT NULL DEFAULT 0;            -- of problems
ALTER TABLE registry_import_problems ADD COLUMN severity text NOT NULL DEFAULT '';     -- warning, or empty
