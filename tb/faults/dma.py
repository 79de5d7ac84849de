"""Mistakes seeded into the engine's DMA."""

from __future__ import annotations

from collections.abc import Callable

from amaranth.hdl import Const

from tb.run.fault import Fault, Files, inside, survives_reset

CHAINS = "chains_of_random_layers_leave_the_memory_of_the_golden_model"
FLUSH = "after_a_flush_at_any_moment_the_next_chain_is_right"
BUS = "an_error_of_the_bus_ends_the_chain_and_names_the_descriptor"
ANSWERED = "a_layer_is_done_when_its_last_write_was_answered"
WORDS = "a_descriptor_that_is_none_is_refused_and_nothing_of_it_is_read"
LEFT = "words_that_come_behind_the_last_result_are_left_over"
ANY_ORDER = "a_memory_may_take_data_or_its_address_first"
UNANSWERED = "so_many_bursts_go_out_unanswered_as_there_are_places"
TABLE = "an_order_table_may_be_longer_than_the_places_that_are_kept"
RESET = "a_reset_in_the_middle_forgets_the_chain"


def _fault(name: str, test: str, why: str, seam: str, function: object, set_name: str = "grid64") -> Fault:
    return Fault(name=name, block="dma", why=why, patch=(f"rtl_gen.dma.{seam}", function), set_name=set_name,
                 tests=(test,))


def _edit(name: str, test: str, why: str, edit: Callable[[Files], Files]) -> Fault:
    return Fault(name=name, block="dma", why=why, edit=edit, set_name="grid64", tests=(test,))


def _nothing_on_its_way(files: Files) -> Files:
    """Of weights and parameters: as many times as the ones are read too often, the others are."""
    for name in ("wgt", "par"):
        files = inside(f"stamp_dma_{name}_reader", "empty & (room == 5'd16)", "empty")(files)
    return files


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
           lambda granted, offered: Const(1)),
    _fault("wait_for_the_address", ANY_ORDER, "data waits until its address was taken", "write_port.may_send",
           lambda granted, offered: granted != 0),
    _fault("keep_the_engine", FLUSH, "a halt does not reset the engine and what feeds it", "top.resets",
           lambda aresetn, halted: ~aresetn),
    _fault("keep_half_a_burst", FLUSH, "what a halt leaves of a burst that is not whole goes into the next one",
           "top.ResetInserter", lambda _halted: lambda unit: unit),
    _edit("give_a_place_back_when_its_word_comes", CHAINS, "a word's place is free before the word has left it",
          inside("stamp_dma_act_reader", ", popped})", ", push})")),
    _edit("forget_words_on_their_way", LEFT, "a stream is idle while words of it are on their way",
          _nothing_on_its_way),
    _edit("write_without_a_place_for_the_answer", UNANSWERED, "more bursts go out than can lack their response",
          inside("stamp_dma_write_port", " & (open != 5'd16)", "")),
    _edit("words_for_two_streams", CHAINS, "a stream takes the words of another's ID as well",
          inside("stamp_dma_read_port", "(answer_id == 3'd3)", "answer_id[1]")),
    _edit("half_of_the_places", TABLE, "a place's number loses its highest bit where results leave",
          inside("stamp_dma_inward_places", "ring[following[7:0]]", "ring[{1'b0, following[6:0]}]")),
    _edit("one_column_of_places", CHAINS, "the places of a super-tile serve its first column tile alone",
          inside("stamp_dma_inward_places", "(ring_read_1_ends & ~last) ? first : at + 9'd1", "at + 9'd1")),
    _edit("read_the_weights_once_more", CHAINS, "weights are read once more than there are super-tiles",
          inside("stamp_dma", "wgt_left <= descriptor_fields_repeats;", "wgt_left <= descriptor_fields_repeats + 1;")),
    Fault(name="leave_with_words_on_their_way", block="dma", set_name="grid64", tests=(FLUSH,),
          why="a halt ends while the bus still owes words", patch=(
              "rtl_gen.axi.halt.stays_halted", lambda flush, stands, drained: flush | stands)),
    Fault(name="keep_the_count_in_reset", block="dma", why="the count of layers survives a reset", set_name="grid64",
          tests=(RESET,), edit=survives_reset("stamp_dma", "done")),
)
