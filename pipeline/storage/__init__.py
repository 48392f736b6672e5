"""Files on a local disk or in an object store: paths, atomic writes, compression, locks, leases and checksums.

`paths` resolves and reads files, `atomic` writes them, `run_directory` defines the names of the files of a run,
`checksums` writes and checks `SHA256SUMS`. `locks` and `lease` prevent two commands from writing to the same run. This
package does not interpret the contents of the files.
"""
