// The fastest that a testbench can be: one loop over the model that feeds memories and compares what comes.
//
// No VPI, no Python, no stalls, no events, no rules of a stream; tb/speed/rtl.py compares its speed with the bench's.
// Usage: raw FOLDER, which holds `port.bin` for each stream: the beats to send, or those that must come. Prints cycles,
// beats that differ, and CPU seconds, all of the loop alone.

#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "Vtop.h"
#include "verilated.h"

struct Port {
    const char* name;
    int input;
    CData *valid, *ready;
    void* payload;
    size_t bytes;
};

static std::unique_ptr<Vtop> top;
#include "stamp_ports.h"

struct Stream {
    Port port;
    std::vector<char> words;
    const char* next;

    bool left() const { return next != words.data() + words.size(); }
};

static std::vector<char> read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

int main(int, char** argv) {
    top = std::make_unique<Vtop>();
    std::vector<Stream> streams;
    size_t left = 0, cycles = 0, differ = 0;
    for (const Port& port : std::vector<Port>{STAMP_PORTS}) {
        streams.push_back({port, read(std::string(argv[1]) + "/" + port.name + ".bin"), nullptr});
        streams.back().next = streams.back().words.data();
        left += streams.back().words.size() / port.bytes;
    }
    top->rst = 1;
    for (int half = 0; half < 6; ++half) {
        STAMP_CLOCK(half % 2);
        top->eval();
    }
    top->rst = 0;
    const std::clock_t start = std::clock();
    for (; left; ++cycles) {
        for (Stream& one : streams) {
            if (!one.port.input) {
                *one.port.ready = 1;
            } else if ((*one.port.valid = one.left())) {
                std::memcpy(one.port.payload, one.next, one.port.bytes);
            }
        }
        STAMP_CLOCK(0);
        top->eval();
        for (Stream& one : streams) {
            if (!*one.port.valid || !*one.port.ready) continue;
            if (!one.port.input) differ += !one.left() || std::memcmp(one.port.payload, one.next, one.port.bytes);
            one.next += one.port.bytes;
            --left;
        }
        STAMP_CLOCK(1);
        top->eval();
    }
    const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    std::printf("%zu %zu %.6f\n", cycles, differ, seconds);
    top.reset();
}
