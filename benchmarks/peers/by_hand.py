"""Train the lecture's loop in plain PyTorch, without records or a progress bar: the lower limit of an epoch's time.

--check-every 100 validates as often as the lecture does; the peers validate at every epoch.
"""

import time

import job
import torch
from torch import nn


def main() -> None:
    """Train and report."""
    parser = job.parser(__doc__)
    parser.add_argument("--check-every", type=int, default=1, help="epochs from one validation to the next")
    options = parser.parse_args()
    x_train, y_train = map(torch.from_numpy, job.load(options.data, "train"))
    x_val, y_val = map(torch.from_numpy, job.load(options.data, "test"))
    torch.manual_seed(options.seed)
    model = nn.Sequential(nn.Linear(x_train.shape[1], 1), nn.Sigmoid())
    criterion = nn.BCELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=options.lr)
    losses, validation = [], []

    started = time.perf_counter()
    for epoch in range(options.epochs):
        loss = criterion(model(x_train), y_train)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if (epoch + 1) % options.check_every == 0:
            with torch.no_grad():
                outputs = model(x_val)
                accuracy = ((outputs > 0.5) == (y_val > 0.5)).float().mean()
                validation.append((criterion(outputs, y_val).item(), accuracy.item()))
    seconds = time.perf_counter() - started
    job.report("torch", seconds=seconds, loss=losses[-1])


if __name__ == "__main__":
    main()
