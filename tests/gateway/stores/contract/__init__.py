"""What every kind of store must answer, the same to the byte: the port in ``gateway/stores/base.py``, as tests over all kinds."""

import pytest

pytest.register_assert_rewrite("tests.gateway.stores.contract.oracle")
