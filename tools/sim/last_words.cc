#include "tools/sim/last_words.h"

#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <utility>

// There where a sanitizer is: its end of a process does not come as a signal.
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace drave::simulation {
namespace {

// Only what may be called in the handler of a signal touches these.
char of_seed[512];  // " seed=N\nreplay: ...\n"
bool said = false;

void say(const char* what) {
  if (std::exchange(said, true) || of_seed[0] == 0) return;
  for (const char* text : {"violated=", what, static_cast<const char*>(of_seed)}) {
    [[maybe_unused]] const auto written = ::write(STDOUT_FILENO, text, std::strlen(text));
  }
}

void on_signal(int signal) {
  switch (signal) {
    case SIGABRT: say("assertion"); break;
    case SIGPROF: say("seed-without-end"); break;
    case SIGSEGV: say("signal-segv"); break;
    case SIGBUS: say("signal-bus"); break;
    case SIGILL: say("signal-ill"); break;
    default: say("signal-fpe"); break;
  }
  ::_exit(1);
}

void on_sanitizer() {
  say("sanitizer");
}

void handle(int signal) {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_ONSTACK;
  ::sigaction(signal, &action, nullptr);
}

}  // namespace

void install_last_words() {
  // A stack that has overflowed has no room for a handler.
  static char stack[64 * 1024];
  stack_t alternate = {};
  alternate.ss_sp = stack;
  alternate.ss_size = sizeof(stack);
  ::sigaltstack(&alternate, nullptr);
  handle(SIGABRT);
  handle(SIGPROF);
  if (__sanitizer_set_death_callback != nullptr) {
    __sanitizer_set_death_callback(on_sanitizer);
    return;
  }
  for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE}) handle(signal);
}

void begin_seed(std::uint64_t seed, const std::string& replay, Duration processor_time) {
  std::snprintf(of_seed, sizeof(of_seed), " seed=%llu\nreplay: %s\n",
                static_cast<unsigned long long>(seed), replay.c_str());
  itimerval timer = {};
  timer.it_value.tv_sec = processor_time.ns / 1'000'000'000;
  timer.it_value.tv_usec = processor_time.ns % 1'000'000'000 / 1000;
  ::setitimer(ITIMER_PROF, &timer, nullptr);
}

}  // namespace drave::simulation
