# SPDX-License-Identifier: MIT
#
# The benchmarks; included by the makefile above. bench/run.sh says what comes out.
#
#   make bench ROWS='pipe*' REPEAT=9
#
# A peer that is not installed is left out, aloud, and looked for again next time.

ROWS ?= *
REPEAT ?=
CXX ?= g++
CXXFLAGS ?= -O2 -g
PYTHON ?= python3

BENCH_HEADERS := $(wildcard bench/*.h)
BENCH_PROGRAMS := $(addprefix $(B)/bench/,pipe queue pool start lock manager scale footprint)
BENCH_PEERS :=

$(B)/obj/bench/bench.o: bench/bench.c bench/bench.h $(B)/flags
	$(say) CC $@
	$(Q)mkdir -p $(@D)
	$(Q)$(COMPILE) -c -o $@ $<

# Linked as a user links, with the shared library of the build directory.
$(BENCH_PROGRAMS): $(B)/bench/%: bench/%.c $(BENCH_HEADERS) $(B)/obj/bench/bench.o $(SHARED_LIB) $(SHARED_LINKS)
	$(say) CC $@
	$(Q)mkdir -p $(@D)
	$(Q)$(filter-out -MMD -MP,$(COMPILE)) $(PAR_LDFLAGS) $(LDFLAGS) -o $@ $< $(B)/obj/bench/bench.o \
		-L$(B) -lpar -Wl,-rpath,'$$ORIGIN/..' $(LDLIBS)

# What footprint looks at.
$(B)/bench/libpar.stripped.so: $(SHARED_LIB)
	$(Q)mkdir -p $(@D)
	$(Q)$(STRIP) -o $@ $<

$(B)/bench/hello: bench/hello.c $(B)/flags
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -o $@ $<

$(B)/bench/hello-libpar: bench/hello.c $(B)/flags $(SHARED_LIB) $(SHARED_LINKS)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -o $@ $< -Wl,--no-as-needed -L$(B) -lpar -Wl,-rpath,'$$ORIGIN/..'

STRIP ?= strip
BENCH_FILES := $(addprefix $(B)/bench/,libpar.stripped.so hello hello-libpar)

BENCH_CC = $(filter-out -MMD -MP,$(COMPILE)) $(PAR_LDFLAGS) $(LDFLAGS)
BENCH_CXX = $(CXX) -std=c++17 -D_GNU_SOURCE -Wall -Wextra -pthread $(CXXFLAGS) $(LDFLAGS)

# $(call peer,source file,compiler,a header that it needs,flags,what it is: its package)
define peer
BENCH_PEERS += $(B)/bench/peers/$(basename $(1))
$(B)/bench/peers/$(basename $(1)): bench/peers/$(1) $(BENCH_HEADERS) $(B)/obj/bench/bench.o
	@mkdir -p $$(@D)
	@if echo '#include <$(3)>' | $(2) $(4) -E -x $(if $(filter %.cc,$(1)),c++,c) - >/dev/null 2>&1; then \
		printf '  %-7s %s\n' CC $$@ && $(2) -o $$@ $$< $(B)/obj/bench/bench.o $(4); \
	else \
		echo "left out: $(5)" && rm -f $$@; \
	fi
endef
$(eval $(call peer,openmp.c,$$(BENCH_CC),omp.h,-fopenmp,OpenMP: gcc (with clang libomp-dev)))
$(eval $(call peer,tbb.cc,$$(BENCH_CXX),tbb/parallel_for.h,-ltbb,oneTBB: g++ libtbb-dev))
$(eval $(call peer,boost.cc,$$(BENCH_CXX),boost/lockfree/spsc_queue.hpp,-lrt,Boost: g++ libboost-dev))
$(eval $(call peer,ck.c,$$(BENCH_CC),ck_ring.h,,Concurrency Kit: libck-dev))
$(eval $(call peer,zmq.c,$$(BENCH_CC),zmq.h,-lzmq,ZeroMQ: libzmq3-dev))
$(eval $(call peer,glib.c,$$(BENCH_CC),glib.h,`$$(PKG_CONFIG) --cflags --libs glib-2.0 2>/dev/null`,GLib: pkg-config libglib2.0-dev))
$(eval $(call peer,redis.c,$$(BENCH_CC),hiredis/hiredis.h,-lhiredis,Redis: libhiredis-dev redis-server))

# $(call run_bench,options): the peers are those that could be built.
override run_bench = CC='$(CC)' bench/run.sh $(1) $(if $(REPEAT),-r $(REPEAT)) -w '$(ROWS)' $(B)/bench $(BENCH_PROGRAMS) \
	$$(find $(B)/bench/peers -type f -perm -u+x | sort) \
	$$(if $(PYTHON) -c 'import multiprocessing' 2>/dev/null; then echo bench/peers/python.py; fi)

.PHONY: bench bench-quick bench-programs
bench-programs: $(BENCH_PROGRAMS) $(BENCH_FILES) $(BENCH_PEERS)
	@$(PYTHON) -c 'import multiprocessing' 2>/dev/null || echo "left out: Python: python3"

bench: bench-programs ## measure against all peers that are installed; plots in doc/bench (ROWS, REPEAT)
	@$(call run_bench,)
	@bench/plot.sh $(B)/bench doc/bench

bench-quick: bench-programs ## the same with small sizes, in two minutes
	@$(call run_bench,--quick)
	@bench/plot.sh $(B)/bench $(B)/bench/plots
