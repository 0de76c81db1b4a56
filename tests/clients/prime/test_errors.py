# SPDX-License-Identifier: Apache-2.0
"""Every typed exception, by its real cause."""

import prime_sandboxes
import pytest
from conftest import status_soon

MISSING = "no-such-image:1"


def test_a_missing_image_is_accepted_and_fails(sdk, make):
    """Here no registry may be asked at all; tests/registry has those that can be."""
    made = make(MISSING, sdk=sdk)
    assert made.status == "PENDING" and made.docker_image == MISSING
    with pytest.raises(prime_sandboxes.SandboxImagePullError, match=MISSING):
        sdk.wait_for_creation(made.id)
    seen = status_soon(sdk, made.id, "ERROR")
    assert seen.error_type == "IMAGE_PULL_FAILED" and MISSING in seen.error_message


def test_many_that_fail(sdk, make):
    made = [make(MISSING, sdk=sdk) for _ in range(3)]
    with pytest.raises(RuntimeError, match="failed"):
        sdk.bulk_wait_for_creation([sandbox.id for sandbox in made])
