// What each net of a gate level module does: how often it changes from one cycle to the next, and in how many cycles it
// is 1, by phase. At the end they are written to toggles.txt: a line `phase P CYCLES`, then a line a net.
#include <cstdint>
#include <cstdio>
#include <vector>

namespace {
constexpr int PHASES = 8, CHUNK = 512, WORDS = CHUNK / 32;
struct Counts {
    std::vector<uint32_t> before;
    std::vector<uint64_t> toggles[PHASES], ones[PHASES];
    uint64_t cycles[PHASES] = {};
} counts;
}  // namespace

extern "C" void stamp_nets(int first, int phase, const uint32_t* nets) {
    const size_t end = first + CHUNK;
    if (counts.before.size() * 32 < end) counts.before.resize(end / 32);
    for (auto* each : {counts.toggles, counts.ones})
        for (int p = 0; p < PHASES; ++p)
            if (each[p].size() < end) each[p].resize(end);
    if (first == 0) ++counts.cycles[phase];
    for (int word = 0; word < WORDS; ++word) {
        const uint32_t now = nets[word], changed = now ^ counts.before[first / 32 + word];
        for (uint32_t rest = changed; rest; rest &= rest - 1)
            ++counts.toggles[phase][first + 32 * word + __builtin_ctz(rest)];
        for (uint32_t rest = now; rest; rest &= rest - 1) ++counts.ones[phase][first + 32 * word + __builtin_ctz(rest)];
        counts.before[first / 32 + word] = now;
    }
}

extern "C" void stamp_counted() {
    std::FILE* file = std::fopen("toggles.txt", "w");
    if (file == nullptr) return;
    for (int phase = 0; phase < PHASES; ++phase) {
        std::fprintf(file, "phase %d %llu\n", phase, (unsigned long long)counts.cycles[phase]);
        for (size_t net = 0; net < counts.toggles[phase].size(); ++net)
            std::fprintf(file, "%llu %llu\n", (unsigned long long)counts.toggles[phase][net],
                        (unsigned long long)counts.ones[phase][net]);
    }
    std::fclose(file);
}
