"""Whether sharing will help a run, by how much and until when, from short rehearsals of it."""
