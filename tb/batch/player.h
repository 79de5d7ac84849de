// Plays one job on the model without anybody else awake: memories in, memories out, the clock toggled here.
//
// The structures are what tb/batch/abi.py declares to ctypes; the rules of a stream are those of tb/bench/streams.py. A word
// of a memory has the bytes in which Verilator stores the port (1, 2, 4, 8, or 4 for each 32 bits), little-endian.
// `stamp_ports.h` is generated for each top by tb/batch/program.py: PORTS lists its streams, EVENTS its events.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "Vtop.h"
#include "verilated.h"

namespace stamp {

enum Broken : uint32_t { NOTHING, VALID_FELL, PAYLOAD_CHANGED, EXTRA_BEAT, HANG };

// One port's part of a job. `words`: beats to send, or room for the `beats` that must come; `taken`: room for a cycle a
// beat; `bits` of `period` cycles: when `valid` may rise, or `ready`. `moved` is the answer: beats that were taken.
struct Stream {
    uint8_t* words;
    int64_t* taken;
    const uint8_t* bits;
    uint64_t period, beats, moved;
};

// A field of the port `events`, at most 63 bits wide; `total` is the answer.
struct Event {
    uint32_t offset, width, is_signed, unused;
    int64_t total;
};

// One job; `streams` in the order of PORTS, or none of them: then the ports idle and nothing is checked. Answers: `cycles` that were played, and what ended them: `broken` on `port`,
// the waiting payload in `was` and the one that came in `now`; `last_move` is the cycle after the last beat's.
struct Job {
    Stream* streams;
    Event* events;
    uint8_t *was, *now;
    uint64_t stream_count, event_count, max_cycles, hang_cycles, drain_cycles, cycles, last_move;
    uint32_t broken, port;
};

// A stream of the top; `input` is 1 where the DUT takes the beats.
struct Port {
    const char* name;
    int input;
    CData *valid, *ready;
    void* payload;
    size_t bytes;
};

// A port during a job.
struct Running {
    const Port& port;
    Stream& stream;
    uint64_t phase = 0;    // cycle % period
    bool waiting = false;  // input: a beat is on offer; output: one came and was not taken
    std::vector<uint8_t> held;

    bool done() const { return stream.moved == stream.beats; }
    uint8_t* word() const { return stream.words + stream.moved * port.bytes; }

    bool bit() {
        const bool now = stream.bits[phase];
        if (++phase == stream.period) phase = 0;
        return now;
    }

    void drive() {
        const bool now = bit();
        if (!port.input) {
            *port.ready = now;
        } else if (!waiting) {
            waiting = now && !done();
            if (waiting) std::memcpy(port.payload, word(), port.bytes);
            *port.valid = waiting;
        }
    }

    bool take(uint64_t cycle) {
        stream.taken[stream.moved++] = static_cast<int64_t>(cycle);
        waiting = false;
        return true;
    }

    // Did a beat move in `cycle`? Sets `broken` when the DUT broke a rule.
    bool sample(uint64_t cycle, Broken& broken) {
        if (port.input) return waiting && *port.ready && take(cycle);
        if (!*port.valid) {
            if (waiting) broken = VALID_FELL;
            return false;
        }
        if (waiting && std::memcmp(held.data(), port.payload, port.bytes)) {
            broken = PAYLOAD_CHANGED;
        } else if (done()) {
            broken = EXTRA_BEAT;
        } else if (*port.ready) {
            std::memcpy(word(), port.payload, port.bytes);
            return take(cycle);
        } else if (!waiting) {
            std::memcpy(held.data(), port.payload, port.bytes);
            waiting = true;
        }
        return false;
    }
};

// Adds the events of one cycle. `bits` holds the port and 16 bytes more, so that every field can be read in one go.
inline void count(const Job& job, const uint8_t* bits) {
    for (Event* event = job.events; event != job.events + job.event_count; ++event) {
        unsigned __int128 wide;
        std::memcpy(&wide, bits + event->offset / 8, sizeof wide);
        const uint64_t value = static_cast<uint64_t>(wide >> (event->offset % 8)) << (64 - event->width);
        event->total += event->is_signed ? static_cast<int64_t>(value) >> (64 - event->width)
                                         : static_cast<int64_t>(value >> (64 - event->width));
    }
}

// Plays `job` on the ports; `cycle(sample)` settles the model with the clock low, calls `sample`, and gives the edge.
template <typename Cycle>
void play(Job& job, const std::vector<Port>& ports, const void* events, size_t event_bytes, Cycle&& cycle) {
    std::vector<Running> running;
    bool done = true;
    for (const Port& port : ports) *(port.input ? port.valid : port.ready) = 0;
    for (size_t index = 0; index < job.stream_count; ++index) {
        running.push_back({ports[index], job.streams[index]});
        running.back().held.resize(ports[index].bytes);
        done &= running.back().done();
    }
    std::vector<uint8_t> bits(event_bytes + 16);
    Broken broken = NOTHING;
    uint64_t now = 0, last = 0;
    while (now != job.max_cycles && !(done && now - last >= job.drain_cycles) && !broken) {
        for (Running& one : running) one.drive();
        cycle([&] {
            bool moved = false;
            for (Running& one : running) {
                moved |= one.sample(now, broken);
                if (broken) {
                    job.port = static_cast<uint32_t>(&one - running.data());
                    std::memcpy(job.was, one.held.data(), one.held.size());
                    std::memcpy(job.now, one.port.payload, one.held.size());
                    return;
                }
            }
            if (events) {
                std::memcpy(bits.data(), events, event_bytes);
                count(job, bits.data());
            }
            if (moved) {
                last = now + 1;
                done = true;
                for (const Running& one : running) done &= one.done();
            } else if (now + 1 - last > job.hang_cycles) {
                broken = HANG;
            }
        });
        ++now;
    }
    for (const Port& port : ports) *(port.input ? port.valid : port.ready) = 0;
    job.cycles = now;
    job.last_move = last;
    job.broken = broken;
}

}  // namespace stamp
