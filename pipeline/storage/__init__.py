"""Files on a disk or behind an address: paths, atomic writes, compression, locks, leases and checksums.

`paths` resolves and reads, `atomic` writes, `run_directory` names the files of a run, `checksums` keeps `SHA256SUMS`,
`locks` and `lease` keep two commands from writing to one run. Nothing here knows what the files hold.
"""
