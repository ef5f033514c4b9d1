# Record batches: included by CMakeLists.txt beside it. The codecs come from Debian's packages.
target_sources(drave_protocol PRIVATE
  ${CMAKE_SOURCE_DIR}/protocol/batch_builder.cc
  ${CMAKE_SOURCE_DIR}/protocol/batch_validator.cc
  ${CMAKE_SOURCE_DIR}/protocol/compression.cc
  ${CMAKE_SOURCE_DIR}/protocol/control_record.cc
  ${CMAKE_SOURCE_DIR}/protocol/detail/gzip.cc
  ${CMAKE_SOURCE_DIR}/protocol/detail/lz4.cc
  ${CMAKE_SOURCE_DIR}/protocol/detail/snappy.cc
  ${CMAKE_SOURCE_DIR}/protocol/detail/zstd.cc
  ${CMAKE_SOURCE_DIR}/protocol/legacy_batch.cc
  ${CMAKE_SOURCE_DIR}/protocol/record.cc
  ${CMAKE_SOURCE_DIR}/protocol/record_batch.cc
  ${CMAKE_SOURCE_DIR}/protocol/record_stream.cc
  ${CMAKE_SOURCE_DIR}/protocol/recompress.cc
)
target_link_libraries(drave_protocol PRIVATE z zstd lz4 snappy)
