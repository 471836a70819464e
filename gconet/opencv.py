"""OpenCV, for all modules that use it; names what to install if the system lacks its libraries."""

try:
    import cv2 as cv2
except ImportError as error:
    raise ImportError(
        f"OpenCV cannot be used ({error}). Without a display: apt-get install libgl1 libglib2.0-0, or "
        "pip uninstall -y opencv-python opencv-python-headless && pip install opencv-python-headless"
    ) from None
