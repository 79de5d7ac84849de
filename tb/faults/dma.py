"""Mistakes seeded into the engine's DMA."""

from __future__ import annotations

from amaranth.hdl import Const

from tb.run.fault import Fault, survives_reset

CHAINS = "chains_of_random_layers_leave_the_memory_of_the_golden_model"
FLUSH = "after_a_flush_at_any_moment_the_next_chain_is_right"
BUS = "an_error_of_the_bus_ends_the_chain_and_names_the_descriptor"
ANSWERED = "a_layer_is_done_when_its_last_write_was_answered"
WORDS = "a_descriptor_that_is_none_is_refused_and_nothing_of_it_is_read"
RESET = "a_reset_in_the_middle_forgets_the_chain"


def _fault(name: str, test: str, why: str, seam: str, function: object, set_name: str = "grid64") -> Fault:
    return Fault(name=name, block="dma", why=why, patch=(f"rtl_gen.dma.{seam}", function), set_name=set_name,
                 tests=(test,))


FAULTS: tuple[Fault, ...] = (
    _fault("ask_without_room", CHAINS, "a burst is asked for that has no room", "reader.has_room",
           lambda room, words: room != 0),
    _fault("cross_the_page", CHAINS, "bursts are as long as they can be, wherever they begin", "reader.until_boundary",
           lambda params, address: Const(params.burst_words)),
    _fault("offer_what_is_not_there", CHAINS, "a queue offers an entry before it is in the memory", "fifo.readable",
           lambda following, written: following == following),
    _fault("begin_at_the_word", CHAINS, "results begin at the first byte of a word", "gearbox.joins",
           lambda opened, behind, start: behind, "wide512"),
    _fault("write_filled_places", CHAINS, "what comes at a filled place is written", "packer.is_written",
           lambda suppress: suppress | ~suppress, "line128"),
    _fault("take_zeros", WORDS, "a descriptor's counts may be zero", "descriptor.is_wrong",
           lambda word, allowed, needed: (word & ~allowed).any()),
    _fault("take_any_bits", WORDS, "bits that mean nothing are ignored", "descriptor.is_wrong",
           lambda word, allowed, needed: needed & ~word.any()),
    _fault("believe_every_word", BUS, "an error of a read is not seen", "read_port.failed", lambda resp: Const(0)),
    _fault("believe_every_response", BUS, "an error of a write is not seen", "write_port.failed",
           lambda resp: Const(0)),
    _fault("run_ahead_of_the_writes", ANSWERED, "a layer is done before its results are in the memory",
           "sequencer.is_over", lambda finished, written, idle: finished & idle),
    _fault("send_before_the_address", CHAINS, "data goes out before its burst is whole", "write_port.may_send",
           lambda granted: Const(1)),
    _fault("keep_the_engine", FLUSH, "a halt does not reset the engine and what feeds it", "top.resets",
           lambda aresetn, halted: ~aresetn),
    _fault("keep_half_a_burst", FLUSH, "what a halt leaves of a burst that is not whole goes into the next one",
           "top.ResetInserter", lambda _halted: lambda unit: unit),
    Fault(name="leave_with_words_on_their_way", block="dma", set_name="grid64", tests=(FLUSH,),
          why="a halt ends while the bus still owes words", patch=(
              "rtl_gen.axi.halt.stays_halted", lambda flush, stands, drained: flush | stands)),
    Fault(name="keep_the_count_in_reset", block="dma", why="the count of layers survives a reset", set_name="grid64",
          tests=(RESET,), edit=survives_reset("stamp_dma", "done")),
)
