-- How far a running execution says that it is.
ALTER TABLE executions ADD COLUMN progress BLOB; -- sealed; NULL for nothing, and from the end on
ALTER TABLE executions ADD COLUMN progress_seq INTEGER NOT NULL DEFAULT 0; -- grows with each text
