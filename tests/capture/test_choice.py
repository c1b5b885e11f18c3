import pytest
from torch import nn

from seviz.capture.choice import choose_engine
from seviz.errors import EngineError, OptionError


def test_the_choice_of_an_engine(tiny_net: nn.Module) -> None:
    given = {"device": "cpu", "batch_size": 4, "input_size": (3, 16, 16)}
    assert choose_engine(tiny_net, compile="off", images=10**9, **given) == ("folded", "compiling is off")
    assert choose_engine(tiny_net, compile="on", images=3, **given)[0] == "compiled"
    few, many = (choose_engine(tiny_net, compile="auto", images=n, **given) for n in (100, 10**12))
    assert few[0] == "folded"
    assert few[1].startswith("100 images do not repay about")
    assert many[0] == "compiled"
    assert choose_engine(tiny_net, compile="auto", images=None, **given)[0] == "folded"
    free = {**given, "input_size": None}
    assert choose_engine(tiny_net, compile="auto", images=10**12, **free) == ("folded", "the images differ in size")
    with pytest.raises(EngineError, match=r"cannot be compiled: its images differ in size\. Give compile off"):
        choose_engine(tiny_net, compile="on", images=3, **free)
    with pytest.raises(OptionError, match="compile is 'perhaps', expected auto, on or off"):
        choose_engine(tiny_net, compile="perhaps", images=3, **given)


def test_what_cannot_be_copied_is_run_as_it_is(tiny_net: nn.Module) -> None:
    tiny_net.lock = (k for k in ())
    given = {"images": 10**12, "device": "cpu", "batch_size": 4, "input_size": (3, 16, 16)}
    for compile in ("off", "auto"):
        assert choose_engine(tiny_net, compile=compile, **given) == ("eager", "the network cannot be copied")
    with pytest.raises(EngineError, match="TinyNet cannot be copied"):
        choose_engine(tiny_net, compile="on", **given)
