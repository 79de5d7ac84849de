// What a user of stamp_npu writes: a program that drives it by stamp_npu.h, here against the Verilated top, a memory behind
// AXI4 that is late, paused and mixed, and AXI4-Lite. It exits with 0 if every call does what it says and the memory is, byte
// for byte, what `stamp-hw program --image` says that the chain makes of it.
//
//     software memory.bin memory_after.bin BASE LAYERS SEED
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <iterator>
#include <vector>

#include "Vstamp_npu.h"
#include "verilated.h"

static uint32_t register_read(uint32_t offset);
static void register_write(uint32_t offset, uint32_t value);
#define STAMP_NPU_READ(base, offset) ((void)(base), register_read(offset))
#define STAMP_NPU_WRITE(base, offset, value) ((void)(base), register_write(offset, value))
#include "stamp_npu.h"

namespace {

using Bytes = std::vector<uint8_t>;
constexpr uint32_t WORD = STAMP_NPU_BUS_WIDTH_VALUE / 8;
constexpr int STREAMS = 5, WAIT = 40;  // IDs that read; cycles that a burst waits at most
constexpr uint8_t SLVERR = 2;

struct Burst { uint64_t address; int words; uint64_t due; };
struct Word { uint64_t strobes; uint8_t data[WORD]; bool last; };

Vstamp_npu* top;
uint64_t cycle = 0;
Bytes memory;
uint64_t base_address = 0;
uint64_t bad_address = ~uint64_t{0};  // of a word that fails
std::deque<Burst> reads[STREAMS], writes;
std::deque<Word> words;  // that were written; a burst's may come before its address
std::deque<uint64_t> answers;  // cycles from which a response is due
uint64_t state = 1;

uint32_t random_below(uint32_t limit) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state >> 33) % limit;
}

[[noreturn]] void fail(const char* what, uint64_t got, uint64_t wanted) {
    std::printf("FAIL cycle %llu: %s: got %#llx, expected %#llx\n", static_cast<unsigned long long>(cycle), what,
                static_cast<unsigned long long>(got), static_cast<unsigned long long>(wanted));
    std::exit(1);
}

void expect(const char* what, uint64_t got, uint64_t wanted) {
    if (got != wanted) fail(what, got, wanted);
}

uint8_t* at(uint64_t address) {
    if (address < base_address || address + WORD > base_address + memory.size())
        fail("an address outside of the memory", address, base_address);
    return &memory[address - base_address];
}

// What the memory does at a rising edge, of the values before it; its outputs for the cycle behind it come last.
struct Edge {
    bool ar, r, aw, w, b;
    Burst read, write;
    int id;
    Edge() {
        ar = top->m_axi_arvalid && top->m_axi_arready;
        aw = top->m_axi_awvalid && top->m_axi_awready;
        w = top->m_axi_wvalid && top->m_axi_wready;
        r = top->m_axi_rvalid && top->m_axi_rready;
        b = top->m_axi_bvalid && top->m_axi_bready;
        id = top->m_axi_arid;
        read = {top->m_axi_araddr, top->m_axi_arlen + 1, cycle + random_below(WAIT)};
        write = {top->m_axi_awaddr, top->m_axi_awlen + 1, 0};
        if (w) {
            Word word = {top->m_axi_wstrb, {}, top->m_axi_wlast != 0};
            std::memcpy(word.data, &top->m_axi_wdata, WORD);
            words.push_back(word);
        }
    }
    static void store() {
        Burst& burst = writes.front();
        const Word& word = words.front();
        uint8_t* to = at(burst.address);
        for (uint32_t byte = 0; byte < WORD; byte++)
            if (word.strobes >> byte & 1) to[byte] = word.data[byte];
        burst.address += WORD;
        burst.words--;
        expect("WLAST", word.last, burst.words == 0);
        words.pop_front();
        if (burst.words == 0) {
            writes.pop_front();
            answers.push_back(cycle + random_below(WAIT));
        }
    }
    void after() {
        if (ar) reads[id].push_back(read);
        if (aw) writes.push_back(write);
        while (!words.empty() && !writes.empty()) store();
        top->m_axi_arready = random_below(4) != 0;
        top->m_axi_awready = random_below(4) != 0;
        top->m_axi_wready = random_below(4) != 0;
        if (r) top->m_axi_rvalid = 0;
        if (!top->m_axi_rvalid && random_below(4)) offer();
        if (b) top->m_axi_bvalid = 0;
        if (!top->m_axi_bvalid && !answers.empty() && answers.front() <= cycle) {
            answers.pop_front();
            top->m_axi_bvalid = 1;
            top->m_axi_bresp = 0;
        }
    }
    static void offer() {
        int first = static_cast<int>(random_below(STREAMS));
        for (int step = 0; step < STREAMS; step++) {
            int stream = (first + step) % STREAMS;
            if (reads[stream].empty() || reads[stream].front().due > cycle) continue;
            Burst& burst = reads[stream].front();
            std::memcpy(&top->m_axi_rdata, at(burst.address), WORD);
            top->m_axi_rid = static_cast<uint8_t>(stream);
            top->m_axi_rresp = burst.address == bad_address ? SLVERR : 0;
            burst.address += WORD;
            burst.words--;
            top->m_axi_rlast = burst.words == 0;
            top->m_axi_rvalid = 1;
            if (burst.words == 0) reads[stream].pop_front();
            return;
        }
    }
};

void tick() {
    top->eval();
    Edge edge;
    top->aclk = 1;
    top->eval();
    edge.after();
    top->aclk = 0;
    top->eval();
    cycle++;
}

Bytes contents(const char* name) {
    std::ifstream file(name, std::ios::binary);
    if (!file) fail(name, 0, 1);
    return Bytes(std::istreambuf_iterator<char>(file), {});
}

}  // namespace

static uint32_t register_read(uint32_t offset) {
    top->s_axil_araddr = static_cast<uint16_t>(offset);
    top->s_axil_arvalid = top->s_axil_rready = 1;
    while (!top->s_axil_arready) tick();
    tick();
    top->s_axil_arvalid = 0;
    while (!top->s_axil_rvalid) tick();
    uint32_t value = top->s_axil_rdata;
    expect("RRESP of a register", top->s_axil_rresp, 0);
    tick();
    return value;
}

static void register_write(uint32_t offset, uint32_t value) {
    top->s_axil_awaddr = static_cast<uint16_t>(offset);
    top->s_axil_wdata = value;
    top->s_axil_wstrb = 15;
    top->s_axil_awvalid = top->s_axil_wvalid = top->s_axil_bready = 1;
    while (!(top->s_axil_awready && top->s_axil_wready)) tick();
    tick();
    top->s_axil_awvalid = top->s_axil_wvalid = 0;
    while (!top->s_axil_bvalid) tick();
    expect("BRESP of a register", top->s_axil_bresp, 0);
    tick();
}

int main(int argc, char** argv) {
    if (argc != 6) return 2;
    Vstamp_npu model;
    top = &model;
    volatile uint32_t* const base = nullptr;  // the macros above take its place
    const Bytes before = contents(argv[1]), wanted = contents(argv[2]);
    base_address = std::strtoull(argv[3], nullptr, 0);
    const uint32_t layers = static_cast<uint32_t>(std::strtoul(argv[4], nullptr, 0));
    state = std::strtoull(argv[5], nullptr, 0);
    top->aresetn = 0;
    for (int count = 0; count < 4; count++) tick();
    top->aresetn = 1;

    expect("stamp_npu_matches", stamp_npu_matches(base), 1);
    // An error of the bus: the descriptor is named, a chain is refused until the engine is recovered.
    uint32_t number = 0;
    const uint32_t bad = layers > 1;
    memory = before;
    bad_address = base_address + STAMP_NPU_DESCRIPTOR_BYTES * bad;
    stamp_npu_enable(base, STAMP_NPU_IRQ_ENABLE_ERROR_MASK);
    expect("stamp_npu_start", stamp_npu_start(base, base_address), 1);
    expect("stamp_npu_wait after an error", stamp_npu_wait(base, 0), STAMP_NPU_FAILED);
    expect("irq after an error", top->irq, 1);
    expect("stamp_npu_interrupt", stamp_npu_interrupt(base) & STAMP_NPU_IRQ_STATUS_ERROR_MASK, STAMP_NPU_IRQ_STATUS_ERROR_MASK);
    expect("stamp_npu_error", stamp_npu_error(base, &number), STAMP_NPU_ERROR_READ_MASK);
    expect("the descriptor with the error", number, bad);
    expect("stamp_npu_start of a halted engine", stamp_npu_start(base, base_address), 0);
    expect("stamp_npu_recover", stamp_npu_recover(base), STAMP_NPU_ERROR_READ_MASK);
    expect("irq after it", top->irq, 0);
    expect("stamp_npu_layers before the error", stamp_npu_layers(base), bad);
    bad_address = ~uint64_t{0};
    // Ends at any moment; one that is not there is an error of its own.
    for (uint32_t turn = 0; turn < 4; turn++) {
        memory = before;
        expect("stamp_npu_start", stamp_npu_start(base, base_address), 1);
        expect("stamp_npu_start while a chain runs", stamp_npu_start(base, base_address), 0);
        for (uint32_t wait = random_below(50u << turn * 2); wait; wait--) tick();
        expect("stamp_npu_abort", stamp_npu_abort(base), 0);
        expect("stamp_npu_poll at rest", stamp_npu_poll(base), STAMP_NPU_ENDED);
    }
    expect("stamp_npu_start at no descriptor", stamp_npu_start(base, 1), 1);
    expect("stamp_npu_wait", stamp_npu_wait(base, 0), STAMP_NPU_FAILED);
    expect("stamp_npu_recover", stamp_npu_recover(base), STAMP_NPU_ERROR_DESCRIPTOR_MASK);
    // The whole chain, by its interrupt.
    memory = before;
    stamp_npu_interrupt(base);
    stamp_npu_enable(base, STAMP_NPU_IRQ_ENABLE_DONE_MASK | STAMP_NPU_IRQ_ENABLE_ERROR_MASK);
    stamp_npu_timeout(base, 100000);
    stamp_npu_clear_events(base);
    const uint32_t done = stamp_npu_layers(base);
    const uint64_t begin = cycle;
    expect("stamp_npu_start", stamp_npu_start(base, base_address), 1);
    expect("stamp_npu_wait for one poll", stamp_npu_wait(base, 1), STAMP_NPU_RUNS);
    while (!top->irq) tick();
    const uint64_t end = cycle;
    expect("reasons", stamp_npu_interrupt(base), STAMP_NPU_IRQ_STATUS_DONE_MASK | STAMP_NPU_IRQ_STATUS_LAYER_MASK);
    expect("stamp_npu_wait", stamp_npu_wait(base, 1000), STAMP_NPU_ENDED);
    expect("stamp_npu_error", stamp_npu_error(base, nullptr), 0);
    expect("stamp_npu_layers", stamp_npu_layers(base) - done, layers);
    expect("bytes of the memory", memory.size(), wanted.size());
    for (size_t byte = 0; byte < memory.size(); byte++)
        if (memory[byte] != wanted[byte]) {
            std::printf("byte %#llx\n", static_cast<unsigned long long>(base_address + byte));
            fail("a byte of the memory", memory[byte], wanted[byte]);
        }
    std::printf("layers %u, bytes %zu, cycles %llu, words of results %llu\nPASS\n", layers, memory.size(),
                static_cast<unsigned long long>(end - begin),
                static_cast<unsigned long long>(stamp_npu_event(base, STAMP_NPU_EVENT_FINISH_OUTPUTS)));
    model.final();
    return 0;
}
