# The partition log: included by CMakeLists.txt beside it.
target_sources(drave_segments PRIVATE
  ${CMAKE_SOURCE_DIR}/segments/leader_epoch_cache.cc
  ${CMAKE_SOURCE_DIR}/segments/offset_checkpoint.cc
  ${CMAKE_SOURCE_DIR}/segments/offset_index.cc
  ${CMAKE_SOURCE_DIR}/segments/partition_metadata.cc
  ${CMAKE_SOURCE_DIR}/segments/producer_snapshot.cc
  ${CMAKE_SOURCE_DIR}/segments/producer_state.cc
  ${CMAKE_SOURCE_DIR}/segments/retention.cc
  ${CMAKE_SOURCE_DIR}/segments/time_index.cc
  ${CMAKE_SOURCE_DIR}/segments/transaction_index.cc
)
