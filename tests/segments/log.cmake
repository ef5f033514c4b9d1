drave_test(partition_log_tests SOURCES
  ${CMAKE_CURRENT_LIST_DIR}/chunk_pool_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/file_log_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/flush_messages_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/formats_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/producer_state_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/read_cache_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/segment_jitter_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/tail_test.cc
  LIBRARIES drave_segments drave_io_uring)
drave_test(partition_log_sim_tests SOURCES
  ${CMAKE_CURRENT_LIST_DIR}/file_log_sim_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/log_damage_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/read_sim_test.cc
  LIBRARIES drave_segments drave_io_sim drave_io_uring)
find_package(nlohmann_json REQUIRED)
drave_test(partition_log_vector_tests SOURCES
  ${CMAKE_CURRENT_LIST_DIR}/disk_vector_test.cc
  LIBRARIES drave_segments drave_io_uring drave_vectors nlohmann_json::nlohmann_json)
