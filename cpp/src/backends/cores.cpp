// The cores that this process may use (bskim_export/backends/base.py).
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <optional>
#include <string>

#include "runtime/runner.hpp"

namespace bskim {
namespace {

// The cores that a container may use; none where nothing limits them.
std::optional<double> cgroup_quota() {
  // cgroup v2: "max 100000" or "200000 100000"
  std::string quota;
  double period = 0;
  if (std::ifstream file("/sys/fs/cgroup/cpu.max"); file >> quota >> period) {
    char* end = nullptr;
    const double found = std::strtod(quota.c_str(), &end);
    if (*end != '\0' || quota == "max" || period <= 0) return std::nullopt;
    return found / period;
  }
  // cgroup v1; -1 is no limit
  double limit = 0;
  std::ifstream quota_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), period_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  if (quota_file >> limit && period_file >> period && limit > 0 && period > 0) return limit / period;
  return std::nullopt;
}

}  // namespace

// Libraries that size thread pools to the host's cores run many times slower inside a container with a small quota.
int available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  const bool known = sched_getaffinity(0, sizeof set, &set) == 0;
  const long online = sysconf(_SC_NPROCESSORS_ONLN);
  const int cores = known ? CPU_COUNT(&set) : static_cast<int>(std::max(1L, online));
  const double quota = cgroup_quota().value_or(0);
  const int limit = quota != 0 ? static_cast<int>(std::nearbyint(quota)) : cores;
  return std::max(1, std::min(cores, limit));
}

}  // namespace bskim
