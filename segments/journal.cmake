# The journal, its replay, log directories: included by CMakeLists.txt beside it.
target_sources(drave_segments PRIVATE
  journal.cc
  journal_files.cc
  journal_format.cc
  journal_group.cc
  journal_reader.cc
  journal_replay.cc
  log_directory.cc
  log_directory_recovery.cc
  log_flusher.cc
  log_shard.cc
  meta_properties.cc
)
