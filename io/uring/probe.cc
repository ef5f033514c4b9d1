#include "io/uring/probe.h"

#include <sys/resource.h>
#include <sys/utsname.h>

#include <cerrno>
#include <fstream>

namespace drave::io {
namespace {

constexpr const char* kKernelNeeded = "Linux 6.1 or later is needed";

std::string refused(const UringSurroundings& surroundings) {
  if (surroundings.disabled_sysctl > 0) {
    return "io_uring is forbidden by the sysctl kernel.io_uring_disabled=" +
           std::to_string(surroundings.disabled_sysctl) +
           (surroundings.disabled_sysctl == 1 ? " (only members of kernel.io_uring_group may)"
                                              : " (nobody may)") +
           "; remedy: sysctl -w kernel.io_uring_disabled=0";
  }
  if (surroundings.has_seccomp) {
    return "io_uring is forbidden by a seccomp filter, as in the default profiles of Docker, "
           "Podman and Kubernetes; remedy: a profile that allows io_uring_setup, io_uring_enter "
           "and io_uring_register (docker run --security-opt seccomp=FILE; Kubernetes: "
           "securityContext.seccompProfile of type Localhost)";
  }
  return "io_uring is forbidden (EPERM), neither by kernel.io_uring_disabled nor by seccomp; "
         "remedy: allow it in the security module in force (SELinux, AppArmor)";
}

}  // namespace

UringSurroundings read_surroundings() {
  UringSurroundings found;
  std::ifstream sysctl("/proc/sys/kernel/io_uring_disabled");
  if (!(sysctl >> found.disabled_sysctl)) found.disabled_sysctl = -1;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("Seccomp:")) found.has_seccomp = line.back() != '0';
  }
  rlimit limit{};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  found.memlock_max = limit.rlim_cur;
  utsname name{};
  uname(&name);
  found.kernel = name.release;
  return found;
}

Error explain_setup_failure(int system, const UringSurroundings& surroundings) {
  std::string text;
  switch (system) {
    case ENOSYS:
      text = surroundings.has_seccomp
                 ? "io_uring is hidden by a seccomp filter or sandbox, or missing in kernel " +
                       surroundings.kernel +
                       "; remedy: a seccomp profile that allows io_uring_setup, io_uring_enter "
                       "and io_uring_register, on " +
                       "Linux 6.1 or later"
                 : "kernel " + surroundings.kernel + " has no io_uring; remedy: " + kKernelNeeded +
                       ", built with CONFIG_IO_URING";
      break;
    case EPERM:
    case EACCES: text = refused(surroundings); break;
    case EINVAL:
      text =
          "the io_uring of kernel " + surroundings.kernel + " is too old; remedy: " + kKernelNeeded;
      break;
    case ENOMEM:
      text = "io_uring got no memory: RLIMIT_MEMLOCK is " +
             std::to_string(surroundings.memlock_max / 1024) +
             " KiB; remedy: raise it (ulimit -l, LimitMEMLOCK= of systemd, --ulimit memlock of "
             "Docker) or free memory";
      break;
    case EMFILE:
    case ENFILE:
      text =
          "io_uring got no file descriptor; remedy: raise the limit of open files (ulimit -n, "
          "LimitNOFILE= of systemd)";
      break;
    default: text = "io_uring cannot be set up on kernel " + surroundings.kernel; break;
  }
  return Error{Errc::unsupported, system, std::move(text)};
}

Error explain_missing(const std::string& what, const UringSurroundings& surroundings) {
  return Error{Errc::unsupported, 0,
               "the io_uring of kernel " + surroundings.kernel + " lacks " + what +
                   "; remedy: " + kKernelNeeded};
}

}  // namespace drave::io
