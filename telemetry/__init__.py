"""Who is told what happens: the log, the metrics, the record of a request. It decides nothing."""
