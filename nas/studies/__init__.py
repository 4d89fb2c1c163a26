"""One file per study; `nas.plugins` imports them."""
