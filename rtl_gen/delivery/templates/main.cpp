// The clock of any testbench beside this file under Verilator; the exit code is 0 for PASS. BENCH is the class that
// Verilator made of it (--prefix).
#ifndef BENCH
#define BENCH Vtb
#endif
#define TEXT(name) #name
#define HEADER(name) TEXT(name.h)
#include HEADER(BENCH)
#include "verilated.h"

int main(int argc, char** argv) {
    VerilatedContext context;
    context.commandArgs(argc, argv);
    BENCH top{&context};
    while (!context.gotFinish()) {
        top.clk = !top.clk;
        top.eval();
        context.timeInc(5000);
    }
    top.final();
    return top.failed;
}
