// The clock of any testbench beside this file under Verilator; the exit code is 0 for PASS.
#include "Vtb.h"
#include "verilated.h"

int main(int argc, char** argv) {
    VerilatedContext context;
    context.commandArgs(argc, argv);
    Vtb top{&context};
    while (!context.gotFinish()) {
        top.clk = !top.clk;
        top.eval();
        context.timeInc(5000);
    }
    top.final();
    return top.failed;
}
