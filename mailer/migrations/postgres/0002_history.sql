-- The failed attempts of an e-mail: a JSON array of objects with `at`, milliseconds, and `answer`.
ALTER TABLE inbox ADD COLUMN history TEXT;
