"""What a user can ask of a path: fetch it, keep it, let it go, and how far it is.

Everything comes in and goes out as an extended attribute (`xattrs`). What is to be fetched becomes
a job (`job`, `jobs`), which is kept in the catalogue until it is done and performed by a
`materializer`; everything else is an action (`actions`). Whatever was accepted is tried until it
succeeds or is refused for good (`persistence`). How far a directory is says `overview`, which parts
of an object are here `part_map`.
"""
