# make demo | test | check | benchmark | format. Everything lives in .venv; nothing else on the machine is touched.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
EXTRAS := openvino,onnx,ros,bags,train,evaluate,cluster,demo,dev
# DDS stays on this machine.
export ROS_AUTOMATIC_DISCOVERY_RANGE ?= LOCALHOST

.PHONY: demo test check benchmark format clean

demo: $(VENV)/installed
	ROS_DOMAIN_ID=$${ROS_DOMAIN_ID:-77} $(RUN)/python -m tools.demo \
	    $(if $(BAG),--bag '$(BAG)') $(if $(LEFT),--left '$(LEFT)') $(if $(RIGHT),--right '$(RIGHT)')

test: $(VENV)/installed
	$(RUN)/python -m pytest -n 3 --dist worksteal

check: $(VENV)/installed
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/pydoclint apanet_core apanet_ros

benchmark: $(VENV)/installed
	ROS_DOMAIN_ID=$${ROS_DOMAIN_ID:-76} $(RUN)/python -m tools.node_benchmark
	$(RUN)/apanet benchmark --models '[tiny,small,tiny-mono,small-mono]'
	$(RUN)/apanet benchmark --models '[paper]' --engines '[torch]' --sizes '[1248x376]' --repeats 3
	$(RUN)/apanet benchmark --models '[paper]' --engines '[torch]' --sizes '[1248x376]' --repeats 3 --max_disparity 192

format: $(VENV)/installed
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix .

clean:
	rm -rf $(VENV) build install log demo

$(VENV)/installed: setup.py constraints.txt
	@echo "setting up $(VENV) (about 2 GB; a few minutes the first time)"
	$(PYTHON) -m venv $(VENV)
	$(RUN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $@
