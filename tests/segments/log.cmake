drave_test(partition_log_tests SOURCES
  ${CMAKE_CURRENT_LIST_DIR}/file_log_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/formats_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/producer_state_test.cc
  LIBRARIES drave_segments drave_io_uring)
