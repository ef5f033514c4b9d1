# The partition log: included by CMakeLists.txt beside it.
target_sources(drave_segments PRIVATE
  ${CMAKE_SOURCE_DIR}/segments/batch_times.cc
  ${CMAKE_SOURCE_DIR}/segments/chunk_pool.cc
  ${CMAKE_SOURCE_DIR}/segments/file_cache.cc
  ${CMAKE_SOURCE_DIR}/segments/read_cache.cc
  ${CMAKE_SOURCE_DIR}/segments/file_log.cc
  ${CMAKE_SOURCE_DIR}/segments/file_log_find.cc
  ${CMAKE_SOURCE_DIR}/segments/file_log_flush.cc
  ${CMAKE_SOURCE_DIR}/segments/file_log_pieces.cc
  ${CMAKE_SOURCE_DIR}/segments/file_log_read.cc
  ${CMAKE_SOURCE_DIR}/segments/file_log_recover.cc
  ${CMAKE_SOURCE_DIR}/segments/file_log_replay.cc
  ${CMAKE_SOURCE_DIR}/segments/file_log_retain.cc
  ${CMAKE_SOURCE_DIR}/segments/file_log_truncate.cc
  ${CMAKE_SOURCE_DIR}/segments/leader_epoch_cache.cc
  ${CMAKE_SOURCE_DIR}/segments/offset_checkpoint.cc
  ${CMAKE_SOURCE_DIR}/segments/offset_index.cc
  ${CMAKE_SOURCE_DIR}/segments/partition_metadata.cc
  ${CMAKE_SOURCE_DIR}/segments/producer_snapshot.cc
  ${CMAKE_SOURCE_DIR}/segments/producer_state.cc
  ${CMAKE_SOURCE_DIR}/segments/retention.cc
  ${CMAKE_SOURCE_DIR}/segments/segment.cc
  ${CMAKE_SOURCE_DIR}/segments/segment_reader.cc
  ${CMAKE_SOURCE_DIR}/segments/tail.cc
  ${CMAKE_SOURCE_DIR}/segments/time_index.cc
  ${CMAKE_SOURCE_DIR}/segments/transaction_index.cc
)
