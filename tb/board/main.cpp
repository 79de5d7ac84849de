// Runs a board's top and reads its serial line bit by bit, as the receiver at its other end would.
//
// Usage: board BIT RUNS LIMIT, in the folder of the memories' files: cycles of a bit as the receiver counts them (a
// fraction), how often the test is to run (the button is pressed between two runs), and the cycles after which to give
// up. Prints a line for standard error's reader: cycles, the lamps at the end, framing errors; the bytes go to standard
// output as they come.

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "Vtop.h"
#include "verilated.h"

constexpr int kRunning = 1, kPassed = 2, kFailed = 3, kSending = 4;  // lamps
constexpr int kBits = 10;                                            // of a byte: start, data, stop

int main(int, char** argv) {
    const double bit = std::atof(argv[1]);
    const long runs = std::atol(argv[2]);
    const unsigned long long limit = std::strtoull(argv[3], nullptr, 10);
    auto top = std::make_unique<Vtop>();
    unsigned long long cycles = 0, began = 0, rest = 0;
    int bits = kBits, word = 0;  // of the byte that comes; how many of it have come
    bool line = true;
    long framing = 0, done = 0;
    for (; cycles < limit; ++cycles) {
        top->clk_25mhz = 0;
        top->eval();
        top->clk_25mhz = 1;
        top->eval();
        const bool now = top->ftdi_rxd;
        if (bits == kBits) {
            if (line && !now) {
                began = cycles;
                bits = word = 0;
            }
        } else if (cycles - began >= (bits + 0.5) * bit) {  // the middle of a bit
            word |= now << bits++;
            if (bits == kBits) {
                framing += (word & 1) || !now;
                std::putchar(word >> 1 & 0xFF);
            }
        }
        line = now;
        const int led = top->led;
        const bool over = !(led >> kRunning & 1) && (led >> kPassed & 1 || led >> kFailed & 1);
        rest = over && !(led >> kSending & 1) && bits == kBits ? rest + 1 : 0;
        if (rest == 2 * kBits * static_cast<unsigned long long>(bit)) {
            if (++done == runs) break;
            top->fire1 = 1;
        }
        if (!over) top->fire1 = 0;
    }
    std::fflush(stdout);
    std::fprintf(stderr, "%llu %d %ld\n", cycles, static_cast<int>(top->led), framing);
    return cycles < limit ? 0 : 1;
}
