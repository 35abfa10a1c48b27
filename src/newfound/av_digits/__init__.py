"""AV digits: a data set of videos with sound, made of handwritten digits and spoken ones."""
