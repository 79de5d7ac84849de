// The simulator's main program: cocotb owns the time between jobs, a player owns the clock during one.
//
// Between jobs this is the loop that the VPI asks for (IEEE 1800-2023, 4.4 and 38.36): evaluate until nothing changes,
// call back in the order of the regions, go to the next time that somebody waits for. A testbench hands a job over by
// `stamp_play` and waits for a timer. The job starts when the time step it was handed over in has settled; its cycles
// take simulated time, so the timer is due when it ends: Python sleeps for the whole job.

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>

#include "player.h"
#include "stamp_ports.h"
#include "verilated_vpi.h"
#if VM_COVERAGE
#include "verilated_cov.h"
#endif
#if VM_TRACE_FST
#include "verilated_fst_c.h"
#elif VM_TRACE
#include "verilated_vcd_c.h"
#endif

extern "C" void vlog_startup_routines_bootstrap(void);  // of cocotb's VPI library

namespace {

constexpr uint64_t HALF_PERIOD = 5000;  // time steps of 1 ps: the 10 ns of tb/bench/harness.py
constexpr uint64_t NEVER = ~uint64_t{0};

VerilatedContext* const context = Verilated::threadContextp();
std::unique_ptr<Vtop> top;
std::vector<stamp::Port> ports;
stamp::Job* handed_over = nullptr;
#if VM_TRACE_FST
using Wave = VerilatedFstC;
constexpr char WAVE_FILE[] = "dump.fst";
#elif VM_TRACE
using Wave = VerilatedVcdC;
constexpr char WAVE_FILE[] = "dump.vcd";
#endif
#if VM_TRACE
std::unique_ptr<Wave> wave;
uint64_t wave_from = 0;  // what is before this time is not in the file
#endif

void dump() {
#if VM_TRACE
    if (wave && context->time() >= wave_from) wave->dump(context->time());
#endif
}

void settle_values() {
    while (VerilatedVpi::callValueCbs()) {}
}

void after_puts() {
    VerilatedVpi::doInertialPuts();
    settle_values();
}

void time_step() {
    do {
        do {
            top->eval_step();
            VerilatedVpi::clearEvalNeeded();
            after_puts();
        } while (VerilatedVpi::evalNeeded());
        VerilatedVpi::callCbs(cbReadWriteSynch);
        after_puts();
    } while (VerilatedVpi::evalNeeded());
    top->eval_end_step();
    VerilatedVpi::callCbs(cbReadOnlySynch);
    dump();
}

void half_cycle(int level) {
    STAMP_CLOCK(level);
    top->eval();
    dump();
    context->timeInc(HALF_PERIOD);
}

void play() {
    stamp::Job& job = *handed_over;
    handed_over = nullptr;
    context->timeInc(1);  // the wave already has this time
    stamp::play(job, ports, STAMP_EVENTS, STAMP_EVENT_BYTES, [](auto&& sample) {
        half_cycle(0);
        sample();
        half_cycle(1);
    });
}

}  // namespace

// What tb/batch/abi.py calls in the program that it runs in.
extern "C" {

void stamp_play(stamp::Job* job) { handed_over = job; }

int stamp_port(const char* name) {
    for (size_t index = 0; index < ports.size(); ++index)
        if (!std::strcmp(ports[index].name, name)) return static_cast<int>(index);
    return -1;
}

size_t stamp_bytes(int port) { return ports[port].bytes; }
}

int main(int argc, char** argv) {
    context->commandArgs(argc, argv);
    context->fatalOnVpiError(false);  // cocotb asks for things that Verilator does not know
    top = std::make_unique<Vtop>(context, "");
    ports = {STAMP_PORTS};
#if VM_TRACE
    if (std::any_of(argv, argv + argc, [](const char* word) { return std::string(word) == "--trace"; })) {
        context->traceEverOn(true);
        wave = std::make_unique<Wave>();
        top->trace(wave.get(), 99);
        wave->open(WAVE_FILE);
        const std::string from = context->commandArgsPlusMatch("stamp+waves+from=");
        if (!from.empty()) wave_from = std::stoull(from.substr(from.find('=') + 1));
    }
#endif
    vlog_startup_routines_bootstrap();
    VerilatedVpi::callCbs(cbStartOfSimulation);
    settle_values();
    while (!context->gotFinish()) {
        time_step();
        if (handed_over) play();
        const uint64_t next = std::min<uint64_t>(VerilatedVpi::cbNextDeadline(),
                                                 top->eventsPending() ? top->nextTimeSlot() : NEVER);
        if (next == NEVER) break;
        context->time(std::max(next, context->time()));
        VerilatedVpi::callCbs(cbNextSimTime);
        settle_values();
        VerilatedVpi::callTimedCbs();
        settle_values();
    }
    top->final();
    VerilatedVpi::callCbs(cbEndOfSimulation);
#if VM_TRACE
    wave.reset();  // closes the file; before the model that it belongs to
#endif
#if VM_COVERAGE
    VerilatedCov::write();  // where +verilator+coverage+file+ says
#endif
    top.reset();
    return context->errorCount() > 0;
}
