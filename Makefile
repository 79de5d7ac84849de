# Every target sets up what it needs: Python 3.11, g++, make and perl are all that must be on the machine.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
RTL_VENV := .venv/.rtl-installed
TRACE_VENV := .venv/.trace-installed
DOCS_VENV := .venv/.docs-installed
PEERS := .venv/.peers
PEERS_VENV := .venv/.peers-installed
PICTURES ?= ../shared/data/flowers_ccby_128.zip
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: help venv venv-trace demo ablate test test-long lint docs results bench report-shots throughput regress faults coverage census formal mutate wheel asic fpga board fpga-small trace train smollm2 smollm2-results smollm2-rtl peers clean

help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):[^#]*## /\1\t/' | expand -t 14

venv: $(RTL_VENV)  ## environment in .venv for simulation, generation and verification (no torch)

venv-trace: $(TRACE_VENV)  ## the same with torch, transformers and diffusers, for dumping traces

$(RTL_VENV): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --editable '.[rtl,formal,fpga,dev]'
	touch $@

$(TRACE_VENV): $(RTL_VENV)
	$(PIP) --editable '.[rtl,formal,fpga,dev,trace,gguf]'
	touch $@

$(DOCS_VENV): $(TRACE_VENV)
	$(PIP) --editable '.[rtl,formal,fpga,dev,trace,gguf,docs]'
	touch $@

# an environment of their own: SCALE-Sim needs another NumPy
$(PEERS_VENV): constraints-peers.txt
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints-peers.txt \
	    scalesim zigzag-dse six
	touch $@

demo: venv  ## the main job on the shipped traces: simulate, draw, generate, verify (build/demo; 4 minutes)
	$(BIN)/stamp-hw trace info models/traces/smollm2.safetensors
	$(BIN)/stamp-hw simulate models/traces/smollm2.safetensors --config configs/language.yaml \
	    --json build/demo/smollm2.json --csv build/demo/smollm2.csv --plots build/demo/smollm2
	$(BIN)/stamp-hw trace info models/traces/llama_small.safetensors
	$(BIN)/stamp-hw simulate models/traces/llama_small.safetensors --config configs/default.yaml \
	    --json build/demo/llama_small.json --csv build/demo/llama_small.csv --plots build/demo
	$(BIN)/stamp-hw trace info models/traces/pixart_small.safetensors
	$(BIN)/stamp-hw simulate models/traces/pixart_small.safetensors --config configs/default.yaml \
	    --json build/demo/pixart_small.json --csv build/demo/pixart_small.csv --plots build/demo/pixart_small
	$(BIN)/stamp-hw generate --config configs/default.yaml --out build/demo/verilog --vectors
	$(BIN)/stamp-hw verify --config configs/fpga.yaml --trace models/traces/llama_small.safetensors --words 20000 \
	    --json build/demo/verify.json
	$(BIN)/python -m tb.run.verdict build/demo

# Sequences that the ablation fits on: the eight documents of calibration.txt, which is training text; for the small PixArt other
# prompts and seeds than the trace's at the same denoising step.
ABLATE := build/ablate
LLAMA_FITS := $(patsubst %,$(ABLATE)/llama-%.safetensors,1 2 3 4 5 6 7 8)
LLAMA_TRACE := models/traces/llama_small.safetensors
PIXART_TRACE := models/traces/pixart_small.safetensors
PIXART_FITS := $(patsubst %,$(ABLATE)/pixart-%.safetensors,1 2)

# Beside the two traces as they are: the first token out of the transform, scales fitted on what is measured, twice the 8-bit tokens.
ablate: venv-trace $(LLAMA_FITS) $(PIXART_FITS)  ## the paper's comparisons on the shipped traces, one table each (build/ablate; 10 minutes)
	nice $(BIN)/stamp-hw ablate $(LLAMA_TRACE) $(addprefix --fit ,$(LLAMA_FITS)) \
	    --json $(ABLATE)/llama_small.json --csv $(ABLATE)/llama_small.csv --plots $(ABLATE)/llama_small
	nice $(BIN)/stamp-hw ablate $(PIXART_TRACE) $(addprefix --fit ,$(PIXART_FITS)) \
	    --json $(ABLATE)/pixart_small.json --csv $(ABLATE)/pixart_small.csv --plots $(ABLATE)/pixart_small
	nice $(BIN)/stamp-hw ablate $(LLAMA_TRACE) $(addprefix --fit ,$(LLAMA_FITS)) --job outliers=0 --levels 5 \
	    --json $(ABLATE)/llama_sink.json > $(ABLATE)/llama_sink.out
	nice $(BIN)/stamp-hw ablate $(LLAMA_TRACE) --levels 5 --json $(ABLATE)/llama_self.json > $(ABLATE)/llama_self.out
	nice $(BIN)/stamp-hw ablate $(PIXART_TRACE) $(addprefix --fit ,$(PIXART_FITS)) --job n_hi=16 \
	    --json $(ABLATE)/pixart_16.json > $(ABLATE)/pixart_16.out

$(ABLATE)/llama.txt: models/llama_small/calibration.txt
	mkdir -p $(@D)
	perl -e '$$/ = "\f"; while (<>) { next unless /\S/; chomp; open F, ">", "$(@D)/llama-" . ++$$n . ".txt"; print F $$_ }' $<
	cp $< $@

$(ABLATE)/llama-%.safetensors: $(ABLATE)/llama.txt models/llama_small/model.safetensors | $(TRACE_VENV)
	nice $(BIN)/stamp-hw trace dump --model models/llama_small --text $(ABLATE)/llama-$*.txt --length 512 \
	    --layers '^model\.layers\.(1|4)\.|^lm_head$$' --out $@

$(ABLATE)/prompts.txt: $(PIXART_TRACE)
	mkdir -p $(@D)
	printf 'a photo of roses\na photo of tulips\na photo of daisy\na photo of dandelion\n' > $@

$(ABLATE)/pixart-%.safetensors: $(ABLATE)/prompts.txt $(PIXART_TRACE) | $(TRACE_VENV)
	nice $(BIN)/stamp-hw trace dump --model models/pixart_small --prompts $< --steps 10 --inference-steps 20 --size 32 \
	    --guidance 3 --seed $* --layers '^transformer_blocks\.(1|4)\.|^(proj_out|caption_projection|adaln_single)\b' --out $@

test: venv-trace lint  ## every test but the long ones, on two cores (15 minutes)
	$(BIN)/python -m pytest -n 2 --dist worksteal --durations 15 -m 'not long and not smollm2'

test-long: venv-trace  ## the tests that take longest: large arrays, place and route, a plain install, what `make smollm2` has made (6 minutes)
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m 'long or smollm2' --durations 5

lint: venv-trace  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(DOCS_VENV)  ## drawings, generated pages and the site, warnings as errors (build/docs/index.html)
	$(BIN)/python -m docs.tools.drawings
	$(BIN)/python -m docs.tools.blocks
	$(BIN)/python -m docs.tools.reference
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs

results: venv  ## README.md and docs/results.md from docs/results/*.json and the reports in build/
	$(BIN)/python -m docs.tools.record
	$(BIN)/python -m docs.tools.results

report-shots: venv  ## pages of four reports and pictures of them in a real browser, 390 and 1280 pixels wide (build/report-shots; a minute)
	$(BIN)/python -m docs.tools.report_shots

throughput: venv  ## utilization of the array and cost of the transform, from the cycle model (build/throughput.json)
	$(BIN)/stamp-hw throughput --json build/throughput.json

regress: venv-trace  ## 500 random layers and the whole shipped trace through the engine RTL (build/regress.json; 15 minutes)
	$(BIN)/stamp-hw verify deep

bench: venv-trace  ## speed of the golden model, its torch backend, sweeps and the RTL bench, as ratios (build/bench.json; 3 minutes)
	$(BIN)/stamp-hw bench --json build/bench.json

faults: venv-trace  ## seed every named fault into the RTL; the regression must catch each at its block (build/faults.json; 20 minutes)
	$(BIN)/stamp-hw verify faults

coverage: venv  ## line, branch and toggle coverage of the generated Verilog, and the test plan (build/coverage.json; 25 minutes)
	nice $(BIN)/stamp-hw verify coverage

census: venv  ## bits of the engine's registers that its bench does not reach, each with its reason (10 minutes)
	nice $(BIN)/stamp-hw verify census

formal: venv  ## prove the properties of the generated Verilog, each with a bug that breaks it (build/formal.json; 8 minutes)
	nice $(BIN)/stamp-hw verify formal

# area, slowest path, leakage and energy of every block in standard cells; the library is installed, not shipped (docs/asic.md)
ASIC_LIBERTY ?= freepdk45
asic: venv  ## area, clock and energy of every block in 45 nm cells, held to layers (build/asic.json; 9 minutes)
	$(PIP) --editable '.[rtl,formal,fpga,dev,asic]'
	nice $(BIN)/stamp-hw characterize --liberty $(ASIC_LIBERTY) --out build/asic.yaml --json build/asic.json --check models/traces/*.safetensors
	nice $(BIN)/python -m tb.asic.engine --liberty $(ASIC_LIBERTY) --json build/asic.json models/traces/*.safetensors

fpga: venv  ## clock rate of the FPGA preset on an ECP5-85F, best and median of three seeds (build/fpga.json; 15 minutes)
	nice $(BIN)/stamp-hw place --config configs/fpga.yaml --hw dsp=ecp5 --hw freq_hz=120e6 --seed 1 --seed 2 --seed 3 --json build/fpga.json

board: venv  ## a bitstream for a ULX3S that runs a layer of a real Llama and checks itself (build/board; 10 minutes)
	nice $(BIN)/stamp-hw board ulx3s --out build/board/ulx3s --json build/board/ulx3s.json

fpga-small: venv  ## the same for the smallest 4 x 4 engine of use and one seed (build/fpga-small.json; 3 minutes)
	nice $(BIN)/stamp-hw place --config configs/fpga.yaml --hw rows=4 --hw cols=4 --hw lanes=2 --hw max_k=16 \
	    --hw max_tokens=32 --hw act_slots=8 --hw in_width=8 --hw acc_width=20 --hw mul_stages=1 \
	    --json build/fpga-small.json

mutate: venv  ## mutants of the generated Verilog; the benches must kill 95 % of those that matter (build/mutate.json; 37 minutes)
	nice $(BIN)/stamp-hw verify mutate

# what an earlier build left beside the sources would go into the wheel, deleted modules too
wheel: venv  ## build the wheel, and try a plain install of it (build/wheel)
	rm -rf build/lib build/bdist.* build/wheel
	$(BIN)/python -m pip --disable-pip-version-check wheel --quiet --no-deps --wheel-dir build/wheel .
	$(BIN)/python -m pytest -q tests/house/test_install.py

trace: venv-trace  ## make the shipped traces again from the shipped checkpoints
	$(BIN)/python -m models.train.make_traces

train: venv-trace  ## train the small Llama (about 20 minutes) and the small PixArt (an hour, on PICTURES=ZIP) again
	$(BIN)/python -m models.train.llama --out models/llama_small
	$(BIN)/python -m models.train.pixart --pictures $(PICTURES) --out models/pixart_small

smollm2: venv-trace  ## download a real Llama, SmolLM2-135M-Instruct (93 MB), convert and check it (build/smollm2; a minute)
	$(BIN)/python -m models.fetch.smollm2

smollm2-results: venv-trace  ## rotations, scales, weights and schemes on that model and on the small PixArt, a table each (build/smollm2.json; an hour and a half)
	OMP_NUM_THREADS=1 $(BIN)/python -m models.studies.smollm2 --jobs 2
	OMP_NUM_THREADS=1 $(BIN)/python -m models.studies.pixart --jobs 2

smollm2-rtl: smollm2  ## that Llama's whole prefill, 512 tokens, through the RTL of a 16 x 16 engine (build/smollm2-rtl.json; 54 minutes on two busy cores)
	nice $(BIN)/stamp-hw verify --model smollm2 --tokens 512

peers: venv $(PEERS_VENV)  ## SCALE-Sim and ZigZag asked the same as this simulator: equal cycles, ratios of CPU time (build/peers.json; 3 minutes)
	OMP_NUM_THREADS=1 nice $(BIN)/python -m tb.peers.run --python $(PEERS)/bin/python

clean:  ## remove build results (keeps .venv)
	rm -rf build
