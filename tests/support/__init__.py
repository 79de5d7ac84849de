"""Cases, references and pilots that tests share."""
