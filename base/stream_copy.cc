#include "base/stream_copy.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <cstring>

namespace drave {

void stream_copy(std::uint8_t* to, ByteView bytes) {
#ifdef __SSE2__
  if (bytes.size() >= kStreamCopyMin) {
    constexpr std::size_t kLine = 64;
    const std::size_t head = (kLine - reinterpret_cast<std::uintptr_t>(to) % kLine) % kLine;
    std::memcpy(to, bytes.data(), head);
    to += head;
    bytes = bytes.subspan(head);
    while (bytes.size() >= kLine) {
      const auto* from = reinterpret_cast<const __m128i*>(bytes.data());
      auto* line = reinterpret_cast<__m128i*>(to);
      const __m128i a = _mm_loadu_si128(from);
      const __m128i b = _mm_loadu_si128(from + 1);
      const __m128i c = _mm_loadu_si128(from + 2);
      const __m128i d = _mm_loadu_si128(from + 3);
      _mm_stream_si128(line, a);
      _mm_stream_si128(line + 1, b);
      _mm_stream_si128(line + 2, c);
      _mm_stream_si128(line + 3, d);
      to += kLine;
      bytes = bytes.subspan(kLine);
    }
    _mm_sfence();
  }
#endif
  std::memcpy(to, bytes.data(), bytes.size());
}

}  // namespace drave
