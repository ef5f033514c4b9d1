# Record batches: included by CMakeLists.txt beside it.
find_package(ZLIB REQUIRED)
target_sources(drave_protocol PRIVATE
  ${CMAKE_SOURCE_DIR}/protocol/batch_builder.cc
  ${CMAKE_SOURCE_DIR}/protocol/record.cc
  ${CMAKE_SOURCE_DIR}/protocol/record_batch.cc
)
target_link_libraries(drave_protocol PRIVATE ZLIB::ZLIB)
