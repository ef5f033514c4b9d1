# Tests of record batches: included by CMakeLists.txt beside it.
drave_test(batch_test
  SOURCES record_batch_test.cc batch_compression_test.cc batch_validator_test.cc
    batch_vector_test.cc
  LIBRARIES drave_protocol drave_vectors nlohmann_json::nlohmann_json)
