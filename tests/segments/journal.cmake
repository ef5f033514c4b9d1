drave_test(journal_tests SOURCES
  ${CMAKE_CURRENT_LIST_DIR}/journal_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/journal_replay_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/log_directory_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/meta_properties_test.cc
  LIBRARIES drave_segments drave_io_uring)
if(TARGET drave_io_sim)
  drave_test(log_directory_sim_tests SOURCES
    ${CMAKE_CURRENT_LIST_DIR}/journal_sim_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/log_directory_sim_test.cc
    LIBRARIES drave_segments drave_io_sim)
endif()
