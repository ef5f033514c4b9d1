# The journal, its replay, log directories.
target_sources(drave_segments PRIVATE
  journal.cc
  journal_files.cc
  journal_format.cc
  journal_group.cc
  journal_reader.cc
  journal_replay.cc
)
